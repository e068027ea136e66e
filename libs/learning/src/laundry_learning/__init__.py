"""How a model learns from corrections and is judged: shared by the service's runs and the training tool.

Numbers and files alone: it opens no database, no store and no broker, and never imports torch.
"""
