"""DD-02's verification plan (§4.4.2.4), measured on the running three-node stack."""
