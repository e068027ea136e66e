"""A Kubernetes of one node on a bare Debian machine, built from Debian's own packages, and the chart in it.

``build`` makes the programs once, ``node`` starts and ends the cluster, ``images`` makes what the chart runs
without a container engine, ``servers`` are those that a company brings, and ``check`` installs the chart and
does to it what operators do.
"""
