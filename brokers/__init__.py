"""Ground floor: carriage. Bytes under ids; never a Task or a State."""
