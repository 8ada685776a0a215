#!lua flags=allow-oom
-- release: leases are over, or nobody waits for them any more.
-- args: { lease, ... }
-- returns: how many there were
-- needs: ends
local there = 0
for _, id in ipairs(args) do
  if end_lease(id) then there = there + 1 end
end
close_script()
return cmsgpack.pack(there)
