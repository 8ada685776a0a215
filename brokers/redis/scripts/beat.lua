#!lua flags=allow-oom
-- beat: these consumers are alive.
-- args: { {consumer, ...}, lease ms }
-- returns: { consumer, ... } whose last beat is older than the lease
local consumers, lease = unpack(args)
for _, consumer in ipairs(consumers) do
  put('workers', now, consumer)
  put('block_readers', now, consumer) -- workers of older versions are in the other set alone, see submit.lua
  put('chain_readers', now, consumer)
  if CARRIED then put('range_readers', now, consumer) end
  redis.call('PEXPIRE', P .. 'worker:' .. consumer, 10 * lease)
end
return cmsgpack.pack(range('workers', '-inf', now - lease, 'LIMIT', 0, 20))
