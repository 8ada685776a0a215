#!lua flags=allow-oom
-- killed: flow runs that ended because their process was killed, and whose hooks nobody has sent for.
-- args: { {flow run, ...} that are no longer to be listed, how many at most }
-- returns: { flow run, ms of its end, ... }, the oldest first
local sent, limit = unpack(args)
for _, id in ipairs(sent) do drop('killed', id) end
return cmsgpack.pack(places('killed', 0, limit - 1, 'WITHSCORES'))
