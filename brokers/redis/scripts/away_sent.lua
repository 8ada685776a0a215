#!lua flags=allow-oom
-- away_sent: the broker of the foreign application has taken these runs' messages.
-- args: {run, ...}; returns: how many of them were not known before
local removed = 0
for first = 1, #args, 1000 do
  removed = removed + drop('expiring', unpack(args, first, math.min(first + 999, #args)))
end
return cmsgpack.pack(removed)
