"""``laundry learn``: what corrections of a household never seen bring, shown on the running stack."""
