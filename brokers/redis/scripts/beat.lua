#!lua flags=allow-oom
-- beat: these consumers are alive.
-- args: { {consumer, ...}, lease ms }
-- returns: { consumer, ... } that have not been heard of for longer than the lease
for _, consumer in ipairs(args[1]) do
  redis.call('ZADD', P .. 'workers', now, consumer)
  redis.call('PEXPIRE', P .. 'worker:' .. consumer, 10 * args[2])
end
return cmsgpack.pack(redis.call('ZRANGEBYSCORE', P .. 'workers', '-inf', now - args[2], 'LIMIT', 0, 20))
