"""The detector as one would write it with River and dictionaries: an event at a time, no arrays.

The same definitions as in ``detect/``, written down again for reading: River's own estimators where
it has them, dictionaries and plain loops for the rest. It is slow, knows no reverts, and is what
tests and benchmarks compare the compiled detector with, to the last bit.

Left out on purpose: rules and policy; reverts, of which the plain one is shown only what stayed;
the challenger, the figures of the risk model and its fixed reference, which change no score.
"""
