"""Engine 1: Redis Streams. The only place where Redis is spoken."""
