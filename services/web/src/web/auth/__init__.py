"""Sign-in for the pages: an OpenID provider signs people in, a sealed cookie keeps them so.

Tokens stay in this process: the browser has a cookie only, and the proxy adds the token to what it sends on.
"""
