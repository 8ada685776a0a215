#!lua flags=allow-oom
-- complete: settle deliveries. An ack counts only while its ticket is the record's and the run has not ended.
-- args: { {ticket, run, how, outcome, ttl ms, delay ms, behind, drop body, name of the run}, ... }; of calls of a block that
--   ended together {ticket of their range, range, 'B', places (a byte each), letters, ttl ms, packed list of outcomes}; of
--   those that are given back unstarted {ticket of their range, range, 'G', places, '', 0, ''}
-- returns: { run, ... } those that were refused because the ticket was stale; an ack that is repeated because the reply to
--   it was lost is not among them
-- Runs also when the server is out of memory: ends of runs must get through.
-- needs: ends block_ends ranges chains
local refused = {}

local function kept_ms(ttl) return ttl > 0 and ttl or DAY end

-- The worker does not know the task. While another one does, the run is queued again in a moment, later each time, so that
-- two workers do not throw it to and fro; while none does, it waits to be asked for (adopt.lua), and is given up in the end.
local function not_known(id, key, run, text, patience, outcome, ttl)
  local since, route = unpack(look(key, 'U', 'q'))
  since = number(since, now)
  if text ~= '' and now - since >= patience then return finish_dead(id, outcome, ttl, run) end
  leave_limits(id, run[LIMIT], run[LEASES])
  if run[RATE] then redis.call('HSET', key, 'G', '1') end -- it has not started: its turn stays paid
  redis.call('HSET', key, 'U', since, 'e', '')
  if text == '' then
    redis.call('HSET', key, 's', 'D')
    put('delayed', now + math.min(1000, math.max(20, now - since)), id)
    return
  end
  local name = queue_of(route) .. ':' .. run[TASK]
  redis.call('HSET', key, 's', 'W', 'o', because(UNKNOWN_TASK, text))
  put('unknown', since + patience, id .. ' ' .. name)
  put('unknown:' .. name, now, id)
  redis.pcall('SADD', P .. 'unknown_tasks', name)
  changed(id, 'W')
end

-- A large call whose claims never arrive would be sent for ever, and everything behind it would wait. Small ones that were
-- in the same reply are not charged.
local LARGE, MOST_LOST = 262144, 5

local function is_given_up(id, key, run, ttl)
  local size = redis.call('HSTRLEN', key, 'b')
  if size < LARGE or count_up(key, 'L', 1) < MOST_LOST then return false end
  local text = 'it was lost ' .. MOST_LOST .. ' times on its way to a worker: its arguments have ' .. size .. ' bytes, and the '
    .. 'server, or a proxy before it, may cut connections whose replies are so large (client-output-buffer-limit normal). '
    .. 'Raise that, and replay it; or pass less'
  finish_dead(id, because(UNDELIVERED, text), kept_ms(ttl), run)
  return true
end

local function settle(ack, run)
  local ticket, id, how, outcome, ttl, delay, behind, drop_body, name = unpack(ack)
  local key = record(id)
  take_off(ticket)
  if name and name ~= '' then redis.call('HSET', key, 'r', name) end
  if SETTLED[how] then return finish(id, how, outcome, ttl, run, drop_body == 1) end
  if how == 'L' then return finish_dead(id, outcome, ttl, run) end
  -- What is handed back brings no time to live: a run that ends here is kept all the same.
  if run[STATUS] == 'X' then return end_now(id, 'K', CANCELLED, 'cancelled before it started again', kept_ms(ttl)) end
  if how == 'U' then return not_known(id, key, run, behind, delay, outcome, ttl) end
  if how == 'H' and behind == 'lost' and is_given_up(id, key, run, delay) then return end
  leave_limits(id, run[LIMIT], run[LEASES])
  if how == 'D' then return retry_later(id, outcome, delay) end
  if run[RATE] then redis.call('HSET', key, 'G', '1') end -- it has not started: its turn stays paid
  if how == 'P' and park_behind(id, behind, true) then
    redis.call('HSET', key, 's', 'P', 'n', 1, 'e', '')
  elseif how == 'P' and delay > 0 then -- the store does not know the other one: it has to be asked again
    redis.call('HSET', key, 's', 'D', 'e', '')
    put('delayed', now + delay, id)
  else
    enqueue(id, true)
  end
end

local function is_stored(id, outcome)
  -- An outcome holds the moments at which its attempt began and ended: no other attempt has the same.
  return outcome ~= '' and blocks.look(id, 'o')[1] == outcome
end

local function give_back_range(ticket, range_id)
  -- it was claimed, and the reply that would have brought its calls never came
  local current, first, last, handed, block = ranges.read(range_id)
  if current ~= ticket or not block then return take_off(ticket) end
  if not handed then ranges.requeue(block, range_id, ticket, first, last) end
end

local function settle_one(ack)
  local ticket, id, _, outcome, ttl = unpack(ack, 1, 5)
  if blocks.is_range(id) then return give_back_range(ticket, id) end
  local block, _, letter = blocks.find(id)
  if block and letter ~= 'Q' then -- it need not be moved out for that
    if not is_stored(id, outcome) then refused[#refused + 1] = id end
    return
  end
  local run = load_run(id)
  if run[TICKET] ~= ticket or SETTLED[run[STATUS]] then
    if not is_stored(id, outcome) then refused[#refused + 1] = id end
    take_off(ticket) -- gone already, unless the record vanished: nobody else would take it off
    if not run[STATUS] then end_who_waits_for_lost(id) end
  else
    apart(id, kept_ms(ttl), settle, ack, run)
  end
end

local function give_back_calls(ack)
  local ticket, range_id, _, places = unpack(ack, 1, 4)
  local current, first, last, handed, block = ranges.read(range_id)
  local is_held = current == ticket and handed and block
  local from = is_held and ranges.last_of(block, places, first, last) or blocks.MOST
  for at = 1, #places do -- those that were moved out, or lie between others
    local place = string.byte(places, at)
    local id = blocks.member(string.sub(range_id, 1, 32), place)
    if place < from and (is_held and place >= first or not blocks.find(id)) then
      settle_one({ blocks.ticket(ticket, place, range_id), id, 'H', '', 0, 0, '', 0, '' })
    end
  end
  if is_held and from <= last then ranges.give_back(block, range_id, ticket, first, last, from) end
end

for _, ack in ipairs(args) do
  local _, _, how, _, _, ttl = unpack(ack, 1, 6)
  if how == 'G' then
    give_back_calls(ack)
  elseif how == 'B' then
    for _, one in ipairs(pieces_of.finish(ack, kept_ms(ttl))) do settle_one(one) end
  else
    settle_one(ack)
  end
end

close_script()
return cmsgpack.pack(refused)
