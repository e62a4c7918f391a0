"""Builders of small networks, as a user writes them."""

BUILD = """
import json
import keras
import numpy as np
import tensorflow as tf

def build(hp):
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(2, activation="softmax"),
    ])
    model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-1, default=1e-2)), "categorical_crossentropy")
    return model
"""
