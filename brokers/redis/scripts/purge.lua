#!lua flags=allow-oom
-- purge: end calls of a queue that nobody has claimed, the oldest of each route first.
-- args: { queue, most, ttl ms, text, until (server ms; 0: now) }
-- returns: { how many were ended, how many entries were looked at, until }: again, while the second is not 0
local queue, most, ttl, text = args[1], args[2], args[3], args[4]
local last = args[5] > 0 and args[5] or now
local purged, seen = 0, 0

local function after_what_is_held(key)
  local reply = redis.pcall('XINFO', 'GROUPS', key)
  if reply.err then return '-' end
  for _, row in ipairs(reply) do
    local facts = {}
    for i = 1, #row, 2 do facts[row[i]] = row[i + 1] end
    if facts.name == GROUP then return '(' .. facts['last-delivered-id'] end
  end
  return '-'
end

local function purge_route(route)
  local key = stream(route)
  local newest = string.format('%.0f', last) .. '-18446744073709551615'
  for _, entry in ipairs(redis.call('XRANGE', key, after_what_is_held(key), newest, 'COUNT', most - seen)) do
    local id, ticket = entry[2][2], route .. ' ' .. entry[1]
    local f = redis.call('HMGET', record(id), 's', 'e')
    seen = seen + 1
    take_off(ticket)
    if f[2] == ticket and not SETTLED[f[1]] then
      purged = purged + 1
      end_now(id, 'K', text, ttl)
    end
  end
end

for _, letter in ipairs({ 'l', 'd', 'h', 'r' }) do
  for _, lane in ipairs({ 's', 'a' }) do
    if seen < most then purge_route(queue .. ':' .. letter .. lane) end
  end
end
close_script()
return cmsgpack.pack({ purged, seen, last })
