#!lua flags=allow-oom
-- cancel: end runs that have not started at once, ask running ones to stop.
-- args: { {run, ...}, ttl ms, text }
-- returns: { status before, ... }: '?' unknown, a settled status: too late; otherwise the wish is durable
local runs, ttl, text = args[1], args[2], args[3]
local before = {}

local function cancel_queued(id, ticket)
  local consumer = owner_of(ticket)
  if not consumer then
    take_off(ticket)
    return end_now(id, 'K', text, ttl)
  end
  redis.call('HSET', record(id), 's', 'X')
  changed(id, 'X')
  order(consumer, 'cancel', id)
  local supervisor = string.match(consumer, '^(.*)%.')
  if supervisor then order(supervisor, 'cancel', id) end
end

for i, id in ipairs(runs) do
  local f = redis.call('HMGET', record(id), 's', 'e')
  local status = f[1]
  before[i] = status or '?'
  if status and not SETTLED[status] then
    if status == 'Q' or status == 'R' or status == 'X' then
      cancel_queued(id, f[2])
    else
      redis.call('ZREM', P .. 'delayed', id)
      end_now(id, 'K', text, ttl)
    end
  end
end
close_script()
return cmsgpack.pack(before)
