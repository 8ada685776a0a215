#!lua flags=allow-oom
-- renew: whoever holds these leases is alive.
-- args: { {lease, lease ms}, ... }
-- returns: { lease, ... } those that are theirs no more
-- needs: limits
local lost = {}

local function renew(id, lease_ms)
  local state, text = unpack(look(P .. 'lease:' .. id, 's', 'l'))
  local limits = state == 'H' and text and limits_of(text)
  if not limits then return false end
  for _, limit in ipairs(limits) do
    if not score('limit:' .. limit.name, '~' .. id) then return false end
  end
  for _, limit in ipairs(limits) do put('until:' .. limit.name, now + lease_ms, '~' .. id) end
  redis.call('PEXPIRE', P .. 'lease:' .. id, lease_ms + 60000)
  return true
end

for _, pair in ipairs(args) do
  local id, lease_ms = unpack(pair)
  if not renew(id, lease_ms) then lost[#lost + 1] = id end
end
return cmsgpack.pack(lost)
