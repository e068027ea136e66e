"""The page that an invitation's link opens: whoever is invited makes an account, or adds to theirs."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.forms.widgets import Input
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from identity.people import repository
from identity.people.models import Invitation, Person
from identity.people.names import MAX_EMAIL, MAX_NAME, Unfit, clean_email, clean_name
from identity.people.rights import Refused
from identity.people.service.invitations import EmailTaken, accept_anew, accept_as, look
from identity.people.texts import TEXTS
from identity.texts import language

TEMPLATE = "people/invitation.html"
GONE, UNKNOWN, CONFLICT, UNFIT = 410, 404, 409, 422
MAX_PASSWORD = 1000


def _input(kind: type[Input], autocomplete: str) -> Input:
    return kind(attrs={"autocomplete": autocomplete})


def texts() -> dict[str, str]:
    """Return the page's texts in the reader's language."""
    return TEXTS[language()]


class AccountForm(forms.Form):
    """What the invited says of themselves."""

    name = forms.CharField(max_length=MAX_NAME, widget=_input(forms.TextInput, "name"))
    email = forms.CharField(max_length=MAX_EMAIL, widget=_input(forms.EmailInput, "username"))
    password = forms.CharField(
        max_length=MAX_PASSWORD, strip=False, widget=_input(forms.PasswordInput, "new-password")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.label = texts()[name]
        self.fields["password"].help_text = texts()["passwordHint"]

    def clean_name(self) -> str:
        """Return the name in its one form."""
        try:
            return clean_name(self.cleaned_data["name"])
        except Unfit as error:
            raise ValidationError(texts()["nameUnfit"]) from error

    def clean_email(self) -> str:
        """Return the address in its one form."""
        try:
            return clean_email(self.cleaned_data["email"])
        except Unfit as error:
            raise ValidationError(texts()["emailUnfit"]) from error

    def clean_password(self) -> str:
        """Check the password as Django's validators do, with what the form says of the person."""
        password: str = self.cleaned_data["password"]
        about = Person(name=self.cleaned_data.get("name", ""), email=self.cleaned_data.get("email", ""))
        validate_password(password, about)
        return password


@never_cache
@require_http_methods(["GET", "POST"])
def show_invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Show an invitation, and accept it."""
    invitation, why = look(token)
    if invitation is None or why is not None:
        return _page(request, None, refused=f"invitation-{why}")
    if request.method == "GET":
        return _page(request, invitation)
    try:
        return _accepted(request, token, invitation)
    except Refused as refused:
        return _page(request, invitation, refused=refused.code)


def _accepted(request: HttpRequest, token: str, invitation: Invitation) -> HttpResponse:
    if isinstance(request.user, Person):
        accept_as(token, request.user.id)
        return HttpResponseRedirect(settings.IDENTITY.pages[0])
    form = AccountForm(request.POST)
    if not form.is_valid():
        return _page(request, invitation, form=form, status=UNFIT)
    try:
        person = accept_anew(token, **form.cleaned_data)
    except EmailTaken:
        form.add_error("email", texts()["emailTaken"])
        return _page(request, invitation, form=form, status=CONFLICT)
    login(request, person, backend=settings.AUTHENTICATION_BACKENDS[0])
    return HttpResponseRedirect(settings.IDENTITY.pages[0])


def _page(
    request: HttpRequest,
    invitation: Invitation | None,
    *,
    form: AccountForm | None = None,
    refused: str | None = None,
    status: int = 200,
) -> HttpResponse:
    said = texts()
    if refused is not None:
        over = refused.startswith("invitation-")
        status = UNKNOWN if refused == "invitation-unknown" else GONE if over else CONFLICT
        invitation = None if over else invitation
    shown: dict[str, Any] = {
        "t": said,
        "form": form or AccountForm(),
        "refused": said.get(refused, said["refused"]) if refused else None,
        "invitation": invitation,
        "role": invitation and said[f"role.{invitation.role}"],
        "branches": _names(invitation),
    }
    return render(request, TEMPLATE, shown, status=status)


def _names(invitation: Invitation | None) -> list[str]:
    if invitation is None or not invitation.branches:
        return []
    found = repository.branches(invitation.branches, after=None, search=None, limit=len(invitation.branches))
    return [branch.name_ko if language() == "ko" else branch.name_en for branch in found]
