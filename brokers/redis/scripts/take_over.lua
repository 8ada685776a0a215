#!lua flags=allow-oom
-- take_over: give the calls of a consumer that is gone (or leaves) to the others.
-- args: { consumer, { run = reason, ... } that were running, max deliveries, dead letter ttl ms, ttl ms, limit,
--         charge those noted as running (false when the consumer leaves in peace),
--         { run = {how, text, delay ms}, ... } verdicts on calls for which it was killed }
-- returns: { how many were moved, how many are left }
local consumer, running, max_deliveries, dead_ttl, ttl, limit = args[1], args[2], args[3], args[4], args[5], args[6]
local charge_noted, verdicts = args[7], args[8]
local moved, left = 0, 0

local function crashed(id, key, f, reason)
  local crashes = redis.call('HINCRBY', key, 'c', 1)
  if crashes < tonumber(f[7] or max_deliveries) then
    changed(id, 'Q')
    return enqueue(id, true)
  end
  redis.call('ZADD', P .. 'dead', now, id)
  local text = reason .. ' (' .. crashes .. ' times)'
  finish(id, 'Z', '\0' .. text, dead_ttl, { f[3], f[4], f[5], f[6] })
end

local function obey(verdict, id, key, f)
  if verdict[1] ~= 'D' then return finish(id, verdict[1], '\0' .. verdict[2], ttl, { f[3], f[4], f[5], f[6] }) end
  redis.call('HINCRBY', key, 'a', 1)
  changed(id, 'D')
  redis.call('HSET', key, 's', 'D', 'e', '', 'o', '\0' .. verdict[2])
  redis.call('ZADD', P .. 'delayed', now + verdict[3], id)
end

local function move(route, entry, id)
  local key, ticket = record(id), route .. ' ' .. entry
  take_off(ticket)
  local f = redis.call('HMGET', key, 's', 'e', 't', 'w', 'd', 'l', 'y')
  if f[2] ~= ticket or SETTLED[f[1]] then return end
  moved = moved + 1
  if f[6] then leave_limit(f[6], id) end
  local verdict = verdicts[id]
  if verdict and not (verdict[1] == 'D' and f[1] == 'X') then return obey(verdict, id, key, f) end
  if f[1] == 'X' then return end_now(id, 'K', 'cancelled; its worker is gone', ttl) end
  local reason = running[id]
  if not reason and charge_noted and f[1] == 'R' then reason = 'its worker was lost while it ran' end
  if charge_noted then redis.call('HINCRBY', key, 'v', 1) end
  if reason then crashed(id, key, f, reason) else enqueue(id, true) end
end

local function move_pending(route, reply)
  for _, row in ipairs(reply) do
    local entry = redis.call('XRANGE', stream(route), row[1], row[1])[1]
    if entry then move(route, row[1], entry[2][2]) else take_off(route .. ' ' .. row[1]) end
  end
end

local function empty_pending(route)
  local reply = redis.pcall('XPENDING', stream(route), GROUP, '-', '+', limit, consumer)
  if reply.err then return end
  move_pending(route, reply)
  if #reply >= limit then left = left + 1 else
    take_off_all(); off = {}
    redis.pcall('XGROUP', 'DELCONSUMER', stream(route), GROUP, consumer)
  end
end

local function empty_private_queue(route)
  -- calls that only this process would have run go home; those that its own slots (another consumer) held first
  local held = redis.pcall('XPENDING', stream(route), GROUP, '-', '+', limit)
  if not held.err and #held > 0 then
    move_pending(route, held)
    take_off_all(); off = {}
  end
  for _, entry in ipairs(redis.call('XRANGE', stream(route), '-', '+', 'COUNT', limit)) do
    redis.call('XDEL', stream(route), entry[1])
    local id = entry[2][2]
    if redis.call('HGET', record(id), 'e') == route .. ' ' .. entry[1] then enqueue(id, false); moved = moved + 1 end
  end
  if redis.call('XLEN', stream(route)) > 0 then left = left + 1 else redis.call('DEL', stream(route)) end
end

redis.call('ZREM', P .. 'workers', consumer)
local queues = redis.call('SMEMBERS', P .. 'queues')
queues[#queues + 1] = '~' .. consumer
local keeper = string.match(consumer, '^(.*)%.') -- slots that a process brought along read its private queue
if keeper then queues[#queues + 1] = '~' .. keeper end
for _, queue in ipairs(queues) do
  for _, letter in ipairs({ 'r', 'h', 'd', 'l' }) do
    for _, lane in ipairs({ 's', 'a' }) do empty_pending(queue .. ':' .. letter .. lane) end
  end
end
for _, letter in ipairs({ 'r', 'h', 'd', 'l' }) do
  for _, lane in ipairs({ 's', 'a' }) do empty_private_queue('~' .. consumer .. ':' .. letter .. lane) end
end
if left == 0 then
  redis.call('DEL', P .. 'worker:' .. consumer)
else
  redis.call('ZADD', P .. 'workers', 0, consumer) -- should the rescuer die now, the next one finds it
end
close_script()
return cmsgpack.pack({ moved, left })
