"""The lab: what it measures, breaks and verifies on a running stack."""
