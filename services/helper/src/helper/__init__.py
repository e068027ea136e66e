"""Photos in, tasks listed, readings confirmed"""
