#!lua flags=allow-oom
-- published: the broker that carries the calls has confirmed these.
-- args: {run, ...}; returns: how many nobody else has to publish now
local noted = 0
for first = 1, #args, 1000 do
  noted = noted + redis.call('ZREM', P .. 'unpublished', unpack(args, first, math.min(first + 999, #args)))
end
return cmsgpack.pack(noted)
