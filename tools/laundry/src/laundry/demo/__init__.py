"""The demo: a story played live on the running stack, through its public addresses."""
