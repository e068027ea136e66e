"""HTTP: people, branches, invitations, credentials of equipment, their audit, and who is cut off."""
