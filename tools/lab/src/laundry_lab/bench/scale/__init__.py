"""How lists, searches, matching, sweeps and migrations grow with the data: ``laundry bench --only scale``."""
