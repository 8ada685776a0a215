#!lua flags=allow-oom
-- fetch: take calls for a consumer, best routes first, and return them whole.
-- args: { consumer, {route, ...}, want, { {route, entry, run}, ... } claimed by a blocking read before, ttl ms,
--         { {run, ticket}, ... } named by a message of the broker that carries the calls }
-- returns: { {ticket, run, task, body, retries, crashes, flow_run, meta, deliveries, upstreams}, ... }
-- Runs that are past their expiry or have ended are taken off here; limits are applied here. Of paused queues nothing is
-- handed out; what a blocking read has claimed of one goes back.
local consumer, routes, want, claimed, ttl = args[1], args[2], args[3], args[4], args[5]
local carried = args[6] or {}
local MOST_BYTES = 16777216 -- of bodies in one reply; a call that does not fit goes back, first in line
local taken, size = {}, 0
local paused, some_paused = {}, false
if not CARRIED then
  for _, queue in ipairs(redis.call('SMEMBERS', P .. 'paused')) do paused[queue] = true; some_paused = true end
end

local function move_due(limit)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'delayed', '-inf', now, 'LIMIT', 0, limit)) do
    redis.call('ZREM', P .. 'delayed', id)
    if redis.call('HGET', record(id), 's') == 'D' then enqueue(id, false) end
  end
end

local function within_limit(id, key, ticket, limit)
  local name, size = string.match(limit, '^(.*)|(%d+)$')
  local holders = P .. 'limit:' .. name
  if redis.call('ZSCORE', holders, id) or redis.call('ZCARD', holders) < tonumber(size) then
    redis.call('ZADD', holders, now, id)
    return true
  end
  redis.call('RPUSH', holders .. ':waiting', id)
  redis.call('HSET', key, 's', 'W', 'e', '')
  take_off(ticket)
  return false
end

local function within_rate(id, key, ticket, rate)
  -- Every call books the next free moment once (generic cell rate); a booked call is not asked again.
  local name, interval, burst = string.match(rate, '^(.*)|([%d.]+)|([%d.]+)$')
  local bucket = P .. 'rate:' .. name
  local free = math.max(now, tonumber(redis.call('GET', bucket) or 0))
  local start = free - tonumber(burst)
  redis.call('SET', bucket, free + tonumber(interval), 'PX', math.ceil(free + tonumber(interval) - now) + 60000)
  redis.call('HDEL', key, 'g')
  if start <= now then return true end
  redis.call('HSET', key, 's', 'D', 'e', '')
  redis.call('ZADD', P .. 'delayed', start, id)
  take_off(ticket)
  return false
end

local function number(field) return field and (tonumber(field) or error('no number: ' .. field)) or 0 end

local function hand_out(route, entry, id)
  local key = record(id)
  local ticket = route .. ' ' .. entry
  local f = redis.call('HMGET', key, 's', 'e', 't', 'b', 'a', 'c', 'f', 'm', 'v', 'x', 'l', 'g', 'u')
  if f[2] ~= ticket or SETTLED[f[1]] then return take_off(ticket) end -- an entry left over by a cancel or a replay
  if f[10] and tonumber(f[10]) <= now and not has_started(f[5], f[6]) then
    take_off(ticket)
    return end_now(id, 'K', 'expired before it started', ttl)
  end
  if some_paused and paused[queue_of(route)] then
    take_off(ticket)
    return enqueue(id, true)
  end
  size = size + #(f[4] or '')
  if size > MOST_BYTES and #taken > 0 then
    take_off(ticket)
    return enqueue(id, true)
  end
  if f[12] and not within_rate(id, key, ticket, f[12]) then return end
  if f[11] and not within_limit(id, key, ticket, f[11]) then return end
  taken[#taken + 1] = { ticket, id, f[3], f[4] or '', number(f[5]), number(f[6]), f[7], f[8], number(f[9]) + 1, f[13] }
end

-- Somebody may have written nonsense into a record: that call is a dead letter, and its neighbours are handed out.
local function hand_out_whole(route, entry, id)
  local well, trouble = pcall(hand_out, route, entry, id)
  if well then return end
  take_off(route .. ' ' .. entry)
  local text = 'its record is damaged: ' .. (type(trouble) == 'table' and trouble.err or tostring(trouble))
  if pcall(end_now, id, 'Z', text, ttl) then redis.call('ZADD', P .. 'dead', now, id) end
end

local function read_route(route)
  local key = stream(route)
  local reply = redis.pcall('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', want - #taken, 'STREAMS', key, '>')
  if reply and reply.err then
    redis.call('XGROUP', 'CREATE', key, GROUP, '0', 'MKSTREAM')
    reply = redis.call('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', want - #taken, 'STREAMS', key, '>')
  end
  if not reply then return end
  for _, entry in ipairs(reply[1][2]) do hand_out_whole(route, entry[1], entry[2][2]) end
end

-- A message names calls; those that still wait for it enter a stream and are read from it at once, so that from here on
-- they are held and fenced like any other. What has ended, or was queued anew meanwhile, is passed over.
local function claim_carried()
  local found, seen = {}, {}
  for _, pair in ipairs(carried) do
    local key = record(pair[1])
    local f = redis.call('HMGET', key, 's', 'e')
    if f[1] == 'Q' and f[2] == pair[2] then
      take_off(pair[2])
      local route = string.sub(split_ticket(pair[2]), 2)
      local entry = redis.call('XADD', stream(route), '*', 'i', pair[1])
      redis.call('HSET', key, 'e', route .. ' ' .. entry)
      if not seen[route] then seen[route] = true; found[#found + 1] = route end
    end
  end
  return found
end

move_due(50)
if CARRIED then routes = claim_carried() end
for _, claim in ipairs(claimed) do hand_out_whole(claim[1], claim[2], claim[3]) end
for _, route in ipairs(routes) do
  if #taken >= want then break end
  if not (some_paused and paused[queue_of(route)]) then read_route(route) end
end
close_script()
return cmsgpack.pack(taken)
