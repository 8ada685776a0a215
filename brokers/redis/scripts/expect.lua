#!lua flags=allow-oom
-- expect: have the ends of runs sent to an inbox.
-- args: { inbox, inbox ttl ms, {run, ...} }
-- returns: { run, status, outcome, ... } of those that have ended; status '?' where there is no record
local inbox, ttl, runs = args[1], args[2], args[3]
local key = P .. 'in:' .. inbox
if redis.call('EXISTS', key) == 0 then redis.call('XADD', key, '*', 'h', '') end
redis.call('PEXPIRE', key, ttl)
local found = {}
for _, id in ipairs(runs) do
  local f = redis.call('HMGET', record(id), 's', 'o', 'w')
  if not f[1] or SETTLED[f[1]] then
    local n = #found
    found[n + 1] = id
    found[n + 2] = f[1] or '?'
    found[n + 3] = f[2] or ''
  elseif not f[3] then
    redis.call('HSET', record(id), 'w', inbox)
  elseif not string.find(' ' .. f[3] .. ' ', ' ' .. inbox .. ' ', 1, true) then
    redis.call('HSET', record(id), 'w', f[3] .. ' ' .. inbox)
  end
end
return cmsgpack.pack(found)
