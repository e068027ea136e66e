"""The laundry command: native servers, the local stack, tokens, dead letters, benchmarks"""
