-- unlock: give up the claim on a cache key, if it is still this holder's.
-- args: { key, holder }
-- returns: nothing
-- Compared and deleted in one step: of two that find the claim of a dead run, the second would delete the first's.
local lock = P .. 'c:' .. args[1] .. ':lock'
if redis.call('GET', lock) == args[2] then redis.call('DEL', lock) end
return cmsgpack.pack(0)
