"""What our sign-in pages say; labels and messages of the forms are Django's and allauth's own."""

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_language

TEXTS: dict[str, dict[str, str]] = {
    "ko": {
        "name": "스마트 세탁",
        "skip": "본문으로 건너뛰기",
        "language": "English",
        "sign_in": "로그인",
        "sign_in_lead": "초대받은 이메일과 비밀번호로 로그인하세요.",
        "no_account": "계정은 초대 링크로 만듭니다. 링크가 없다면 지점주나 운영자에게 부탁하세요.",
        "forgotten": "비밀번호를 잊으셨나요?",
        "reset": "비밀번호 다시 정하기",
        "reset_lead": "이메일을 적어 주시면 새 비밀번호를 정할 수 있는 링크를 보내 드립니다.",
        "reset_send": "링크 받기",
        "reset_sent": "메일을 확인해 주세요",
        "reset_sent_lead": "이 주소로 만든 계정이 있으면 새 비밀번호를 정하는 링크를 보냈습니다.",
        "reset_sent_hint": "몇 분이 지나도 오지 않으면 스팸함을 확인하거나 지점주나 운영자에게 알려 주세요.",
        "reset_save": "이 비밀번호로 바꾸기",
        "reset_done": "비밀번호를 바꿨습니다",
        "reset_done_lead": "이제 새 비밀번호로 로그인하세요.",
        "link_over": "더 이상 쓸 수 없는 링크입니다",
        "link_over_lead": "이미 사용했거나 시간이 지난 링크입니다.",
        "link_again": "새 링크 받기",
        "closed": "가입은 초대로만 할 수 있습니다",
        "back": "처음으로",
        "missing": "없는 페이지입니다",
        "missing_lead": "주소를 다시 확인해 주세요.",
        "forbidden": "열 수 없는 페이지입니다",
        "forbidden_lead": "이 계정으로는 볼 수 없습니다.",
        "stale": "페이지가 오래되었습니다",
        "stale_lead": "열어 둔 지 오래되었거나 쿠키가 꺼져 있습니다. 처음부터 다시 해 주세요.",
        "broken": "잠시 쉬고 있습니다",
        "broken_lead": "곧 다시 열립니다. 잠시 뒤에 다시 시도해 주세요.",
        "refused": "로그인 요청이 올바르지 않습니다",
        "refused_lead": "처음 화면에서 다시 로그인해 주세요.",
        "too_many": "너무 여러 번 시도했습니다",
        "too_many_lead": "잠시 뒤에 다시 시도해 주세요.",
        "mail_off": "이 서비스는 메일을 보내지 않습니다. 비밀번호를 잊었다면 운영자에게 부탁하세요.",
    },
    "en": {
        "name": "Smart Laundry",
        "skip": "Skip to the content",
        "language": "한국어",
        "sign_in": "Sign in",
        "sign_in_lead": "Use the e-mail and the password of your account.",
        "no_account": "Accounts are made by invitation. Without a link, ask your branch owner or operator.",
        "forgotten": "Forgotten your password?",
        "reset": "Choose a new password",
        "reset_lead": "Enter your e-mail, and we will send you a link to choose a new password.",
        "reset_send": "Send me the link",
        "reset_sent": "Check your mail",
        "reset_sent_lead": "If there is an account for this address, we have sent a link to it.",
        "reset_sent_hint": "Nothing came? Look into the spam folder, or ask your branch owner or operator.",
        "reset_save": "Use this password",
        "reset_done": "Your password is changed",
        "reset_done_lead": "Sign in with the new one from now on.",
        "link_over": "This link no longer works",
        "link_over_lead": "It has been used already, or is too old.",
        "link_again": "Get a new link",
        "closed": "Accounts are made by invitation",
        "back": "Back to the start",
        "missing": "There is no such page",
        "missing_lead": "Please check the address.",
        "forbidden": "This page is not open to you",
        "forbidden_lead": "Your account cannot see it.",
        "stale": "This page has become too old",
        "stale_lead": "It was open for long, or cookies are turned off. Please start again.",
        "broken": "We will be right back",
        "broken_lead": "Please try again in a moment.",
        "refused": "This sign-in was not asked for correctly",
        "refused_lead": "Please sign in again from the start page.",
        "too_many": "Too many attempts",
        "too_many_lead": "Please try again in a moment.",
        "mail_off": "No mails are sent from here. If you forgot your password, ask an operator.",
    },
}
OTHER = {"ko": "en", "en": "ko"}


def language() -> str:
    """The language of the page that is being made."""
    return "ko" if (get_language() or "ko").startswith("ko") else "en"


def texts(_: HttpRequest) -> dict[str, object]:
    """Context processor: the texts in the reader's language, and what pages show of the settings."""
    now = language()
    return {
        "text": TEXTS[now],
        "language": now,
        "other_language": OTHER[now],
        "pages_url": settings.IDENTITY.pages[0],
        "sends_mail": settings.IDENTITY.sends_mail,
    }
