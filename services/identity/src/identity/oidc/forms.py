"""Where an e-mail address is typed: an account is found by it in the form in which it is kept."""

from typing import Any

from allauth.account import forms

from identity.people.names import known_as


class LoginForm(forms.LoginForm):
    """Who signs in."""

    def clean_login(self) -> str:
        """Return the address in its one form."""
        return known_as(self.cleaned_data["login"])


class ResetPasswordForm(forms.ResetPasswordForm):
    """Who has forgotten a password."""

    def clean_email(self) -> Any:
        """Look for the account of the address in its one form."""
        self.cleaned_data["email"] = known_as(self.cleaned_data["email"])
        return super().clean_email()
