#!lua flags=allow-oom
-- move: queue what is due, end what is past its expiry, go on releasing dependants.
-- args: { limit, ttl ms }
-- returns: ms until the next delayed run is due (-1: none)
local limit, ttl = args[1], args[2]
local UNPUBLISHED = 5000 -- ms after which a call that nobody has published is published by someone else

for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'delayed', '-inf', now, 'LIMIT', 0, limit)) do
  redis.call('ZREM', P .. 'delayed', id)
  if redis.call('HGET', record(id), 's') == 'D' then enqueue(id, false) end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'expiring', '-inf', now, 'LIMIT', 0, limit)) do
  redis.call('ZREM', P .. 'expiring', id)
  local f = redis.call('HMGET', record(id), 's', 'e', 'a', 'c')
  local status = f[1]
  if has_started(f[3], f[4]) then status = false end -- it began in time: its next attempt may be later
  if status == 'Q' and not owner_of(f[2]) then
    take_off(f[2])
    end_now(id, 'K', 'expired before it started', ttl)
  elseif status == 'P' or status == 'D' or status == 'W' then
    redis.call('ZREM', P .. 'delayed', id)
    end_now(id, 'K', 'expired before it started', ttl)
  elseif status == 'A' then
    end_now(id, 'Z', 'whoever sent it to Celery was lost on the way; it may run there all the same', ttl)
  end
end

-- Whoever queued these died, or lost the broker, before it could say that they were published.
if CARRIED then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'unpublished', '-inf', now - UNPUBLISHED, 'LIMIT', 0, limit)) do
    redis.call('ZREM', P .. 'unpublished', id)
    local f = redis.call('HMGET', record(id), 's', 'e', 't')
    if f[1] == 'Q' and is_carried(f[2]) then
      redis.call('XADD', P .. 'outbox', '*', 'i', id, 'e', f[2], 't', f[3])
    end
  end
end

for _, item in ipairs(redis.call('ZRANGE', P .. 'releasing', 0, 3)) do
  redis.call('ZREM', P .. 'releasing', item)
  ended[#ended + 1] = cmsgpack.unpack(item)
end

close_script(limit)
local wait = -1
if redis.call('ZCARD', P .. 'releasing') > 0 then return cmsgpack.pack(0) end
local first = redis.call('ZRANGE', P .. 'delayed', 0, 0, 'WITHSCORES')
if first[2] then wait = math.max(0, tonumber(first[2]) - now) end
return cmsgpack.pack(wait)
