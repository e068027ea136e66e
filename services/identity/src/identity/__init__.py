"""Signs people and equipment in, and says who may do what."""
