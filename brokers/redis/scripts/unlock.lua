-- unlock: give up the claim on a cache key, if it is still this holder's.
-- args: { key, holder }
-- returns: nothing
-- Compared and deleted in one step: of two that find the claim of a dead run, the second would delete the first's.
local name, holder = unpack(args)
local lock = P .. 'c:' .. name .. ':lock'
if redis.pcall('GET', lock) == holder then redis.call('DEL', lock) end
return cmsgpack.pack(0)
