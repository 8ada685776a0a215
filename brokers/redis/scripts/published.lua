#!lua flags=allow-oom
-- published: the broker that carries the calls has confirmed these.
-- args: {run or range, ...}; returns: how many nobody else has to publish now
local removed = 0
for first = 1, #args, 1000 do
  local last = math.min(first + 999, #args)
  removed = removed + drop('unpublished', unpack(args, first, last)) + drop('unpublished_ranges', unpack(args, first, last))
end
return cmsgpack.pack(removed)
