#!lua flags=allow-oom
-- withdraw: forget calls that could not be published, as if they had never been sent; those that run are left alone.
-- args: { {run, idempotency key or false}, ... }
-- returns: { run, ... } those that were claimed before they could be withdrawn
local claimed = {}
for _, pair in ipairs(args) do
  local id, key = pair[1], record(pair[1])
  local f = redis.call('HMGET', key, 's', 'e')
  if f[1] == 'Q' and not is_carried(f[2]) or f[1] == 'R' then
    claimed[#claimed + 1] = id
  elseif f[1] then
    if f[1] == 'Q' then take_off(f[2]) end
    redis.call('ZREM', P .. 'unpublished', id)
    redis.call('ZREM', P .. 'delayed', id)
    redis.call('ZREM', P .. 'expiring', id)
    redis.call('DEL', key)
    local idem = pair[2] and P .. 'i:' .. pair[2]
    if idem and redis.call('GET', idem) == id then redis.call('DEL', idem) end
  end
end
close_script()
return cmsgpack.pack(claimed)
