-- submit: write records and queue entries together.
-- args: { limit, { {run, task, route, body, flow_run, reply_to, meta, extras}, ... } }, absent parts false
--   limit: how many calls a queue may hold, those that run included; 0 for no limit
--   extras: d delay ms, r {{upstream, goes_on}, ...}, u packed upstreams of the body, i {key, ttl ms}, x expiry ms from now, l "name|size",
--           g "name|ms between calls|burst ms", p process that keeps the call, y deliveries allowed, k ttl ms
-- returns: { { {i, run}, ... } for the calls whose idempotency key was known: position and the run it belongs to,
--            { {run, ticket}, ... } what the caller has to publish (where another broker carries the calls) }
-- A run id that is known already is skipped: repeating a submit after a lost reply changes nothing.
local limit, calls = args[1], args[2]
local known, added, accepted = {}, {}, {}
if CARRIED then unsent = {} end

for _, call in ipairs(calls) do
  local queue = queue_of(call[3])
  added[queue] = (added[queue] or 0) + 1
end

local function length_of(queue)
  local length = CARRIED and tonumber(redis.call('HGET', P .. 'carried', queue) or 0) or 0
  for _, letter in ipairs({ 'r', 'h', 'd', 'l' }) do
    for _, lane in ipairs({ 's', 'a' }) do
      length = length + redis.call('XLEN', stream(queue .. ':' .. letter .. lane))
    end
  end
  return length
end

for queue, count in pairs(added) do
  if limit > 0 then
    local length = length_of(queue)
    if length + count > limit then
      return redis.error_reply('QUEUEFULL the queue ' .. queue .. ' holds ' .. length .. ' calls and may hold ' .. limit)
    end
  end
end
for queue in pairs(added) do redis.call('SADD', P .. 'queues', queue) end

local function depends(id, upstreams, ttl)
  -- returns how many are open, or nil and the upstream that did not complete
  local open = 0
  for _, pair in ipairs(upstreams) do
    local parked, status = park_behind(id, pair[1], pair[2])
    if parked then
      open = open + 1
    elseif status ~= 'C' and not pair[2] then
      return nil, pair[1]
    end
  end
  return open
end

local function place(id, key, call, x)
  -- decides where a new run waits; most calls never come here
  local due = x.d and now + x.d
  if x.r then
    local open, failed = depends(id, x.r)
    if not open then return end_now(id, 'N', failed, x.k or 86400000) end
    if due then redis.call('HSET', key, 'j', due) end
    if open > 0 then return redis.call('HSET', key, 's', 'P', 'n', open) end
  end
  if due then
    redis.call('HSET', key, 's', 'D')
    return redis.call('ZADD', P .. 'delayed', due, id)
  end
  enqueue(id, false)
end

for i, call in ipairs(calls) do
  local id, x = call[1], call[8]
  local key = record(id)
  local other = false
  if x and x.i then
    local idem = P .. 'i:' .. x.i[1]
    other = redis.call('GET', idem)
    if other and other ~= id then
      known[#known + 1] = { i, other }
    else
      redis.call('SET', idem, id, 'PX', x.i[2])
      other = false
    end
  end
  local status = not other and redis.call('HGET', key, 's')
  if status == 'Q' and unsent then -- a repeated submit: the first one's sender may not have published it
    local ticket = redis.call('HGET', key, 'e')
    if is_carried(ticket) then unsent[#unsent + 1] = { id, ticket } end
  elseif not other and not status then
    begun[#begun + 1] = id
    local counted = queue_of(call[3]) .. ':' .. call[2]
    accepted[counted] = (accepted[counted] or 0) + 1
    local fields = { 't', call[2], 'q', call[3], 'b', call[4] }
    local n = 6
    if call[5] then fields[n + 1] = 'f'; fields[n + 2] = call[5]; n = n + 2 end
    if call[6] then fields[n + 1] = 'w'; fields[n + 2] = call[6]; n = n + 2 end
    if call[7] then fields[n + 1] = 'm'; fields[n + 2] = call[7]; n = n + 2 end
    if not x then
      fields[n + 1] = 's'; fields[n + 2] = 'Q'
      fields[n + 3] = 'e'
      fields[n + 4] = CARRIED and carry(id, call[3], call[2])
        or call[3] .. ' ' .. redis.call('XADD', stream(call[3]), '*', 'i', id)
      redis.call('HSET', key, unpack(fields))
    else
      for _, letter in ipairs({ 'l', 'g', 'p', 'y', 'u' }) do
        if x[letter] then fields[n + 1] = letter; fields[n + 2] = x[letter]; n = n + 2 end
      end
      if x.x then
        fields[n + 1] = 'x'; fields[n + 2] = now + x.x
        redis.call('ZADD', P .. 'expiring', now + x.x, id)
      end
      redis.call('HSET', key, unpack(fields))
      place(id, key, call, x)
    end
  end
end

for name, n in pairs(accepted) do redis.call('HINCRBY', P .. 'submitted', name, n) end
close_script()
return cmsgpack.pack({ known, unsent or {} })
