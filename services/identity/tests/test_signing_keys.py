"""The keys that sign tokens."""

from laundry_service.auth.rsa_keys import new_key, pems

from .conftest import Provider


async def test_a_key_that_is_replaced_is_published_until_it_is_withdrawn(provider: Provider) -> None:
    from django.test import override_settings

    person = await provider.account("helper", "b1")
    old = pems(provider.settings.signing_keys.get_secret_value())[0]
    new = pems(new_key())[0]
    async with provider.browser() as browser:
        before = await provider.signed_in(browser, person.email)
    with override_settings(IDP_OIDC_PRIVATE_KEYS=[{"pem": new}, {"pem": old}]):
        jwks = (await provider.http.get("/.well-known/jwks.json")).json()["keys"]
        assert len(jwks) == 2
        assert all("d" not in key for key in jwks), "a private half was published"
        after = (await provider.backend.refresh(before)).json()
        for tokens in (before, after):
            assert (await provider.asks(tokens["access_token"])).status_code == 200
    with override_settings(IDP_OIDC_PRIVATE_KEYS=[{"pem": new}]):
        assert len((await provider.http.get("/.well-known/jwks.json")).json()["keys"]) == 1


async def test_the_key_that_signs_is_read_once_for_all_tokens(provider: Provider) -> None:
    from allauth.core.internal import jwkkit

    person = await provider.account("helper", "b1")
    async with provider.browser() as browser:
        tokens = await provider.signed_in(browser, person.email)
    read = jwkkit.load_pem.cache_info()
    for _ in range(2):
        assert (await provider.backend.refresh(tokens)).status_code == 200
    # Each refresh signs two tokens: allauth reads the key through what is kept here.
    assert jwkkit.load_pem.cache_info().misses == read.misses
    assert jwkkit.load_pem.cache_info().hits >= read.hits + 4
