#!lua flags=allow-oom
-- fetch: take calls for a consumer, best routes first, and return them whole.
-- args: { consumer, {route, ...}, want, { {route, entry, run}, ... } claimed by a blocking read before, ttl ms,
--         { {run or range, ticket}, ... } named by a message of the broker that carries the calls, seconds that a claim
--         of a range should be worth (0: all of it is claimed) }
-- returns: { {ticket, run, task, body, retries, crashes, flow_run, meta, deliveries, upstreams}, ... }; of calls of a block
--   { ticket of their range, range, task, bodies, where each ends in them (4 bytes), first place, flow run, meta, where the
--     bodies begin, results that they take (see chains.brought) or false }
-- Runs that are past their expiry or have ended are taken off here; limits are applied here. Of paused queues nothing is
-- handed out; what a blocking read has claimed of one goes back.
-- needs: ends ranges chains
local consumer, routes, want, claimed, ttl, carried, worth = unpack(args, 1, 7)
-- Of bodies in one reply; a call that does not fit goes back, first in line. It is small because servers cut connections
-- whose replies are large (client-output-buffer-limit, 8 MB with some who rent them out); a larger call comes alone.
local MOST_BYTES = 1048576
local FIRST = 16 -- entries that are read of a route before it is known how large its calls are
local taken, taken_calls, size = {}, 0, 0
local paused, some_paused = {}, false
for _, queue in ipairs(members('paused')) do
  if not CARRIED or stays_here(queue .. ':') then paused[queue] = true; some_paused = true end
end

local function move_due(limit)
  for _, id in ipairs(range('delayed', '-inf', now, 'LIMIT', 0, limit)) do
    drop('delayed', id)
    if look(record(id), 's')[1] == 'D' then apart(id, ttl, queue_due, id) end
  end
end

local function fits(limits)
  local others_wait = false
  for _, limit in ipairs(limits) do others_wait = call_next(limit.name) or others_wait end
  if others_wait then return false end
  if not short_of(limits, 1) then return true end
  for _, limit in ipairs(limits) do forget_overdue(limit.name) end
  return not short_of(limits, 1)
end

local function within_limits(id, key, ticket, text, arrival)
  local limits = limits_of(text) or error('its limit is ' .. text)
  local holds = true
  for _, limit in ipairs(limits) do holds = holds and score('limit:' .. limit.name, id) end
  if holds then -- it was called up
    for _, limit in ipairs(limits) do drop('until:' .. limit.name, id) end
  elseif fits(limits) then
    take_places(limits, id, 1)
  else
    arrival = number(arrival) and arrival or next_arrival()
    redis.call('HSET', key, 's', 'W', 'e', '', 'A', arrival)
    stand_in_line(limits, class_of(text, 1), id, arrival)
    if look(P .. 'f:' .. id, 'type')[1] == 'SCHEDULED' then changed_flow(id, 'SCHEDULED', 'AwaitingConcurrencySlot') end
    take_off(ticket)
    return false
  end
  if arrival then redis.call('HDEL', key, 'A') end
  return true
end

local function within_rate(id, key, ticket, rate)
  -- Every attempt books the next free moment (generic cell rate). `G`: it has, and is not asked again until it starts.
  local name, interval, burst = string.match(rate, '^(.*)|([%d.]+)|([%d.]+)$')
  if not name then error('its rate is ' .. rate) end
  local bucket = P .. 'rate:' .. name
  local booked = redis.pcall('GET', bucket)
  local free = math.max(now, type(booked) == 'string' and number(booked, 0) or 0)
  if free > now + 315360000000 then free = now end -- ten years: nobody has booked that
  local start = free - tonumber(burst)
  redis.call('SET', bucket, free + tonumber(interval), 'PX', math.ceil(free + tonumber(interval) - now) + 60000)
  if start <= now then return true end
  redis.call('HSET', key, 's', 'D', 'e', '', 'G', '1')
  put('delayed', start, id)
  take_off(ticket)
  return false
end

local function whole(field) return field and (number(field) or error('no number: ' .. field)) or 0 end

local function hand_out(route, entry, id)
  local key = record(id)
  local ticket = route .. ' ' .. entry
  local status, current, task, body, retries, crashes, flow_run, meta, take_overs, expires, limit, rate, upstreams, paid, arrival =
    unpack(redis.call('HMGET', key, 's', 'e', 't', 'b', 'a', 'c', 'f', 'm', 'v', 'x', 'l', 'g', 'u', 'G', 'A'))
  if current ~= ticket or SETTLED[status] then -- an entry left over by a cancel or a replay
    if not status then end_who_waits_for_lost(id) end
    return take_off(ticket)
  end
  if expires and whole(expires) <= now and not has_started(retries, crashes) then
    take_off(ticket)
    return end_expired(id, ttl)
  end
  -- It was read because there was room for so many entries, and one of them was many calls.
  if (taken_calls >= want and not CARRIED) or (some_paused and paused[queue_of(route)]) then
    take_off(ticket)
    return enqueue(id, true)
  end
  body = body or ''
  size = size + #body
  if size > MOST_BYTES and taken_calls > 0 then
    take_off(ticket)
    return enqueue(id, true)
  end
  local call = { ticket, id, task, body, whole(retries), whole(crashes), flow_run, meta, whole(take_overs) + 1, upstreams }
  if rate and not paid and not within_rate(id, key, ticket, rate) then return end
  if limit and not within_limits(id, key, ticket, limit, arrival) then
    if rate then redis.call('HSET', key, 'G', '1') end
    return
  end
  if paid then redis.call('HDEL', key, 'G') end
  taken[#taken + 1] = call
  taken_calls = taken_calls + 1
end

function ranges.worth(task, count)
  -- how many calls of a range that a message has brought are claimed: what is left travels in a message of its own, so a
  -- range that is not much too long is taken whole
  local seconds = worth > 0 and number(look(P .. 'speeds', task)[1], 0) or 0
  if seconds * count <= 2 * worth then return count end
  return math.max(1, math.floor(worth / seconds))
end

function ranges.how_many(block, first, last)
  -- of the calls from here on that are open, side by side, and fit into the reply; their bytes, where these begin, and
  -- whether others did not fit
  local closed = string.find(block.letters, '[^Q]', first + 1)
  local most = carried and ranges.worth(block.task, last - first + 1) or want - taken_calls
  local count = math.min((closed and closed - 1 or block.count) - first, last - first + 1, most)
  local begun = blocks.begin_of_body(block, first)
  most = count
  while count > 1 and size + blocks.end_of_body(block, first + count - 1) - begun > MOST_BYTES do count = count - 1 end
  return count, blocks.end_of_body(block, first + count - 1) - begun, begun, count < most
end

-- Somebody had this range, and an older worker took it over as if it were a call: those that were moved out meanwhile are
-- held by nobody.
function ranges.bring_back(range_id, ticket, first, last, block)
  for place = first, last do
    local id = blocks.member(block.name, place)
    local status, own = unpack(look(P .. 'r:' .. id, 's', 'e'))
    local _, _, member = split_ticket(own)
    local of_before = blocks.letter(block, place) == '-' and member == string.format('%02x', place) .. range_id
    if of_before and own ~= blocks.ticket(ticket, place, range_id) and not SETTLED[status] then
      redis.pcall('HDEL', P .. 'r:' .. range_id, 'm' .. string.sub(member, 1, 2))
      count_up(P .. 'r:' .. range_id, 'k', -1)
      if status == 'X' then
        end_now(id, 'K', CANCELLED, 'cancelled; its worker is gone', ttl)
      else
        apart(id, ttl, enqueue, id, true)
      end
    end
  end
end

function ranges.hand_out(route, entry, range_id)
  local ticket = route .. ' ' .. entry
  local current, first, last, handed, block = ranges.read(range_id)
  if current ~= ticket then return take_off(ticket) end
  if block and handed then ranges.bring_back(range_id, ticket, first, last, block) end
  local opened = block and string.find(block.letters, 'Q', first + 1, true)
  if block and (not opened or opened > last + 1) then return ranges.drop(range_id, ticket, false, 0) end
  if not block or not blocks.load_bodies(block) then error('its block is damaged') end
  local open = ranges.count_open(block, first, last)
  first = opened - 1
  local is_paused = some_paused and paused[queue_of(route)]
  -- It was read because there was room for so many entries, and another one took it.
  if is_paused or (taken_calls >= want and not carried) then return ranges.requeue(block, range_id, ticket, first, last) end
  local count, bytes, begun, full = ranges.how_many(block, first, last)
  if taken_calls > 0 and size + bytes > MOST_BYTES then
    size = MOST_BYTES -- nothing more is read, or it would be read, and queued, again and again
    return ranges.requeue(block, range_id, ticket, first, last)
  end
  size = full and MOST_BYTES or size + bytes
  redis.call('HSET', P .. 'r:' .. range_id, 'F', first, 'T', first + count - 1, 'h', consumer)
  ranges.wait_no_more(range_id, route, open)
  blocks.count_more(route .. '!', count - 1)
  ranges.queue_rest(block, route, first + count, last)
  taken[#taken + 1] = { ticket, range_id, block.task, string.sub(block.bodies, begun + 1, begun + bytes),
    string.sub(block.ends, 4 * first + 1, 4 * (first + count)), first, block.flow_run, block.meta, begun,
    block.sources and chains.brought(block, first, first + count - 1) }
  taken_calls = taken_calls + count
end

-- Somebody damaged a range, or its block: those of its calls end that can be named.
function ranges.end_damaged(range_id, ticket, trouble)
  local name = string.sub(range_id, 1, 32)
  local task, route = unpack(look(P .. 'r:' .. range_id, 't', 'q'))
  local inboxes = look(P .. 'b:' .. name, 'w')[1]
  for _, place in ipairs(ranges.open_places(range_id)) do
    local id = blocks.member(name, place)
    if not look(record(id), 's')[1] then
      set_facts(P .. 'r:' .. id, 's', 'Q', 't', task or '?', 'q', route or '?', 'e', '', 'b', '')
      if inboxes then redis.call('HSET', P .. 'r:' .. id, 'w', inboxes) end
    end
    take_off(look(record(id), 'e')[1])
    apart(id, ttl, error, trouble)
  end
  take_off(ticket)
  redis.call('DEL', P .. 'r:' .. range_id)
end

local last_was_range = false

local function hand_out_whole(route, entry, id)
  last_was_range = blocks.is_range(id)
  if last_was_range then
    local well, trouble = pcall(ranges.hand_out, route, entry, id)
    if not well then pcall(ranges.end_damaged, id, route .. ' ' .. entry, trouble) end
  elseif not apart(id, ttl, hand_out, route, entry, id) then take_off(route .. ' ' .. entry) end
end

local function read_some(route, count)
  -- how many entries there were
  local key = stream(route)
  local reply = redis.pcall('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', count, 'STREAMS', key, '>')
  if reply and reply.err then
    redis.pcall('XGROUP', 'CREATE', key, GROUP, '0', 'MKSTREAM')
    reply = redis.pcall('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', count, 'STREAMS', key, '>')
  end
  if not reply or reply.err then return 0 end
  local entries = reply[1][2]
  for _, entry in ipairs(entries) do hand_out_whole(route, entry[1], run_of(entry)) end
  return #entries
end

local function read_route(route)
  -- First one, which may be many calls of a block, then a few, then as many as are likely to fit: what is read and does not
  -- fit has to be queued again.
  local budget, count, most = want - taken_calls, 1, FIRST
  while count > 0 and size < MOST_BYTES do
    if read_some(route, count) < count then return end
    budget = math.min(budget - count, want - taken_calls)
    local likely = taken_calls > 0 and size > 0 and math.floor((MOST_BYTES - size) * taken_calls / size) or budget
    count = last_was_range and math.min(budget, 1) or math.min(budget, math.max(likely, 1), most)
    if not last_was_range then most = want end
  end
end

-- A message names calls; those that still wait for it enter a stream and are read from it at once, so that from here on
-- they are held and fenced like any other. What has ended, or was queued anew meanwhile, is passed over.
local function claim_call(id, ticket)
  local waits_in_range = blocks.find(id) and blocks.look(id, 'e')[1] == ticket
  local key = record(id)
  local status, current = unpack(look(key, 's', 'e'))
  if waits_in_range then ticket = current end -- somebody waits for this one call: it was moved out by now
  if status ~= 'Q' or current ~= ticket then return nil end
  take_off(ticket)
  local route = string.sub(split_ticket(ticket), 2)
  drop('awaited:' .. queue_of(route), id) -- a message that was sent again is awaited under another number
  redis.call('HSET', key, 'e', route .. ' ' .. redis.call('XADD', stream(route), '*', 'i', id))
  return route
end

local function claim_carried()
  -- returns the routes into which they came
  local came_into, seen = {}, {}
  for _, named in ipairs(carried) do
    local id, ticket = unpack(named, 1, 2)
    local may_be = is_carried(ticket) and split_ticket(ticket) ~= ''
    local route = may_be and (blocks.is_range(id) and ranges.claim or claim_call)(id, ticket)
    if route and not seen[route] then seen[route] = true; came_into[#came_into + 1] = route end
  end
  return came_into
end

local function read_all(route)
  -- what does not fit is queued again
  while read_some(route, 100) == 100 do end
end

local function was_handed_out(route, entry, id)
  -- A range that was looked up before, by a script whose reply was lost: whoever it was for gives it back (pending.lua).
  local current, _, _, handed = ranges.read(id)
  return handed == consumer and current == route .. ' ' .. entry
end

move_due(50)
for _, route in ipairs(carried and claim_carried() or {}) do read_all(route) end
for _, claim in ipairs(claimed) do
  local route, entry, id = unpack(claim)
  if not (blocks.is_range(id) and was_handed_out(route, entry, id)) then hand_out_whole(route, entry, id) end
end
for _, route in ipairs(routes) do
  if taken_calls >= want or size >= MOST_BYTES then break end
  if not (some_paused and paused[queue_of(route)]) then read_route(route) end
end
close_script()
return cmsgpack.pack(taken)
