#!lua flags=allow-oom
-- complete: settle deliveries. A settlement counts only while its ticket is the record's and the run has not ended.
-- args: { {ticket, run, how, outcome, ttl ms, delay ms, behind, drop body}, ... }
-- returns: { run, ... } those that were refused because the ticket was stale; a settlement that is repeated because the
--   reply to it was lost is not among them
-- Runs also when the server is out of memory: ends of runs must get through.
local refused = {}

local function again_later(id, key, settlement)
  redis.call('HINCRBY', key, 'a', 1)
  changed(id, 'D')
  redis.call('HSET', key, 's', 'D', 'e', '', 'o', settlement[4])
  redis.call('ZADD', P .. 'delayed', now + settlement[6], id)
end

local function settle(settlement, f)
  local ticket, id, how = settlement[1], settlement[2], settlement[3]
  local key = record(id)
  take_off(ticket)
  if SETTLED[how] then
    return finish(id, how, settlement[4], settlement[5], { f[3], f[4], f[5], f[6] }, settlement[8] == 1)
  end
  if how == 'L' then
    redis.call('ZADD', P .. 'dead', now, id)
    return finish(id, 'Z', settlement[4], settlement[5], { f[3], f[4], f[5], f[6] }, false)
  end
  if f[1] == 'X' then return end_now(id, 'K', 'cancelled before it started again', settlement[5]) end
  if f[6] then leave_limit(f[6], id) end
  if how == 'D' then
    again_later(id, key, settlement)
  elseif how == 'P' and park_behind(id, settlement[7], true) then
    redis.call('HSET', key, 's', 'P', 'n', 1, 'e', '')
  elseif how == 'P' and settlement[6] > 0 then -- the store does not know the other one: it has to be asked again
    redis.call('HSET', key, 's', 'D', 'e', '')
    redis.call('ZADD', P .. 'delayed', now + settlement[6], id)
  else
    enqueue(id, true)
  end
end

local function is_stored(settlement)
  -- An outcome tells the moments at which its attempt began and ended: no other attempt has the same.
  return settlement[4] ~= '' and redis.call('HGET', record(settlement[2]), 'o') == settlement[4]
end

for _, settlement in ipairs(args) do
  local f = redis.call('HMGET', record(settlement[2]), 's', 'e', 't', 'w', 'd', 'l')
  if f[2] ~= settlement[1] or SETTLED[f[1]] then
    if not is_stored(settlement) then refused[#refused + 1] = settlement[2] end
    take_off(settlement[1]) -- gone already, unless the record vanished: nobody else would take it off
  else
    settle(settlement, f)
  end
end

close_script()
return cmsgpack.pack(refused)
