"""One module for each peer: its settings, its task, the program that sends and the one that works.

They run as processes of their own, all but ours with the peers' own packages. So nothing here imports more
of the lab than this folder.
"""
