"""Names and e-mail addresses as people type them. Pure rules."""

import unicodedata

from email_validator import EmailNotValidError, validate_email

MAX_NAME = 100
MAX_EMAIL = 254


class Unfit(ValueError):
    """A text that cannot be taken; the message says why."""


def clean_name(text: str) -> str:
    """Return a person's or a branch's name in composed form (NFC), without space around it.

    Raises:
        Unfit: it is empty, too long, or holds characters that cannot be seen.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not (name.isprintable() and 0 < len(name) <= MAX_NAME):
        raise Unfit(f"a name has 1 to {MAX_NAME} characters that can be seen")
    return name


def known_as(text: str) -> str:
    """Return the address by which an account is looked up, however it was typed.

    What is no address, as ``clean_email`` says, belongs to nobody here and stays as it is.
    """
    try:
        return clean_email(text)
    except Unfit:
        return text.strip().lower()


def clean_email(text: str) -> str:
    """Return an address in the one form by which accounts are told apart: lower case, its domain in ASCII.

    The part before the @ is ASCII only: letters that look like others would make a second account of the same
    looks, and few mail servers take more.

    Raises:
        Unfit: it is no such address.
    """
    if len(text) > MAX_EMAIL * 4:
        raise Unfit("an e-mail address has at most 254 characters")
    try:
        found = validate_email(text.strip(), allow_smtputf8=False, check_deliverability=False, strict=True)
    except EmailNotValidError as error:
        raise Unfit(str(error)) from error
    address = f"{found.local_part}@{found.ascii_domain}".lower()
    if len(address) > MAX_EMAIL:
        raise Unfit("an e-mail address has at most 254 characters")
    return address
