"""Reads photos with ONNX"""
