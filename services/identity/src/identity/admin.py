"""The admin pages, for operators: to look only, because changes belong into the audit."""

from typing import Any

from allauth.account.decorators import secure_admin_login
from allauth.idp.oidc.models import Client
from django.contrib.admin import AdminSite, ModelAdmin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from identity.people.models import Branch, Person


class Site(AdminSite):
    """For operators; they sign in by the same page as everybody."""

    site_header = site_title = "Smart Fitness Laundry"
    site_url = None
    enable_nav_sidebar = False

    def password_change(  # type: ignore[override]  # Django's types know of a page only
        self, request: HttpRequest, extra_context: Any = None
    ) -> HttpResponse:
        """Lead to the page where everybody changes their password: one way, with one mail about it."""
        return HttpResponseRedirect(reverse("account_change_password"))


class ReadOnly(ModelAdmin):  # type: ignore[type-arg]
    """Shows rows to an administrator, who can change none."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: rows are added by the API alone."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: rows are changed by the API alone."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: rows are deleted by the API alone."""
        return False


class PersonAdmin(ReadOnly):
    """People, without their passwords."""

    list_display = ["email", "name", "role", "is_active", "last_login"]
    list_filter = ["role", "is_active"]
    search_fields = ["email", "name"]
    exclude = ["password"]


class ClientAdmin(ReadOnly):
    """Clients of the provider, without their secrets."""

    list_display = ["id", "name", "created_at"]
    search_fields = ["id", "name"]
    exclude = ["secret"]


site = Site()
site.login = secure_admin_login(site.login)  # type: ignore[method-assign]
site.register(Person, PersonAdmin)
site.register(Branch, ReadOnly)
site.register(Client, ClientAdmin)
