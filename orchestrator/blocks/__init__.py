"""Blocks: settings of the outside world under names in the store, with secrets that are always encrypted.

``core`` is what users subclass, ``system`` has secrets and plain values, ``abstract`` the kinds that others build on,
``fields`` types of fields. Below them: ``record`` is a block as the store keeps it, ``contents`` takes blocks apart and
puts them together, ``sealing`` encrypts, ``schema`` describes classes, ``registry`` knows which there are here,
``lookup`` and ``editing`` find and write.
"""
