#!lua flags=allow-oom
-- away_sent: the broker of the foreign application has taken these runs' messages.
-- args: {run, ...}; returns: how many of them nobody had heard of before
local noted = 0
for first = 1, #args, 1000 do
  noted = noted + redis.call('ZREM', P .. 'expiring', unpack(args, first, math.min(first + 999, #args)))
end
return cmsgpack.pack(noted)
