"""``laundry learn``: what corrections of unseen households bring, shown on the running stack."""
