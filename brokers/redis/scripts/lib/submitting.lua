-- submitting: new calls become records and entries of queues, in whatever script makes them.
-- needs: ends run_lists children
-- A call is an envelope in a row: { run, task, route, body, flow run, inbox, meta, extras }, absent parts false.
--   extras: d delay ms, r {{upstream, goes_on}, ...}, u packed upstreams of the body, i {key, ttl ms for 0.1}, x expiry ms
--           from now, l "name|size", one a line, C "name|size|C or nothing" limit under which it may be
--           cancelled when it is due, g "name|ms between calls|burst ms", p process that keeps the call, y deliveries allowed,
--           V packed upstreams of the body as blocks and places, where they are many; r may have { block, first, last,
--           goes_on }, too, k ttl ms, F fields of the flow run's record that is written with it, T ttl ms of that record once it has ended,
--           S schedule that made it
local accepted = {}

function blocks.pairs_of(upstreams)
  -- of { block, first, last, goes_on } those stay of which all are open, so that one note does; the others become pairs
  local found = {}
  for _, item in ipairs(upstreams) do
    local name, first, last, goes_on = unpack(item, 1, 4)
    local block = #item == 4 and blocks.read(name)
    local open = block and last < block.count and not string.find(string.sub(block.letters, first + 1, last + 1), '[^Q]')
    if #item < 4 or open and blocks.count_notes(block) < blocks.MOST_NOTES then
      found[#found + 1] = item
    else
      for place = first, last do found[#found + 1] = { blocks.member(name, place), goes_on } end
    end
  end
  return found
end

-- Who waits for many calls of one block, side by side, makes one note; this looks how many there are from a place on.
-- Returns that, the block, the first place, whether it goes on, and how many items they are.
function blocks.side_by_side(upstreams, from)
  local upstream, goes_on = unpack(upstreams[from])
  if #upstreams[from] == 4 then
    local name, first, last, also_goes_on = unpack(upstreams[from])
    return last - first + 1, blocks.read(name), first, also_goes_on, 1
  end
  local block, first, letter = blocks.find(upstream)
  if not block or SETTLED[letter] then return 0 end
  local count = 1
  while upstreams[from + count] do
    local following, also_goes_on = unpack(upstreams[from + count])
    local hex = string.match(following, '^%x%x%x%x$', 33)
    local in_block = hex and string.sub(following, 1, 32) == block.name and tonumber(hex, 16) == first + count
    if not in_block or also_goes_on ~= goes_on or blocks.letter(block, first + count) ~= 'Q' then break end
    count = count + 1
  end
  return count, block, first, goes_on, count
end

local function depends(id, upstreams)
  -- returns how many are open, or nil and the upstream that did not complete
  local open, at = 0, 1
  upstreams = blocks.pairs_of(upstreams)
  while upstreams[at] do
    local count, block, first, goes_on, items = blocks.side_by_side(upstreams, at)
    if count > 1 and blocks.count_notes(block) < blocks.MOST_NOTES then
      blocks.note(block, first, first + count - 1, id, goes_on)
      open, at = open + count, at + items
    else
      local upstream, also_after_failure = unpack(upstreams[at])
      local parked, status = park_behind(id, upstream, also_after_failure)
      if not parked and status ~= 'C' and not also_after_failure then return nil, upstream end
      open, at = open + (parked and 1 or 0), at + 1
    end
  end
  return open
end

local function place(id, key, x)
  -- decides where a new run waits; most calls never come here
  local due = x.d and now + x.d
  if x.u then need(id, x.V or x.u) end
  if x.r then
    local open, failed = depends(id, x.r)
    if not open then return end_now(id, 'N', nil, failed, x.k or DAY) end
    if due then redis.call('HSET', key, 'j', due) end
    if open > 0 then return redis.call('HSET', key, 's', 'P', 'n', open) end
  end
  if due then
    redis.call('HSET', key, 's', 'D', 'j', due)
    return put('delayed', due, id)
  end
  queue_due(id)
end

local function known_by_key(id, key, name)
  -- the run to which an idempotency key leads, if it is another one. The key lives until its run has ended, and from then
  -- on as long as the record. (A repeated submit changes nothing.)
  local idem = P .. 'i:' .. name
  local other = redis.pcall('GET', idem)
  if type(other) == 'string' and other ~= id and look(record(other), 's')[1] then return other end
  if other ~= id and not look(key, 's')[1] then redis.call('SET', idem, id) end
end

local function write_flow_run(id, fields, ttl)
  -- What people see of a flow run that was sent stands beside its call: both are there, or neither is. It lives as long as
  -- the call is open.
  local key = P .. 'f:' .. id
  set_facts(key, unpack(fields))
  if ttl then redis.call('HSET', key, 'ttl', ttl) end
  redis.call('PERSIST', key)
  local facts = {}
  for at = 1, #fields, 2 do facts[fields[at]] = fields[at + 1] end
  if facts.type then changed_flow(id, facts.type, facts.state) end
  if facts.deployment then
    local expected = number(facts.expected, now / 1000) * 1000
    list_run(id, facts.deployment, expected, ttl or DAY)
    put('late', math.max(now, expected), id) -- watch.lua sees whether it begins
  end
  if facts.with_parent == '1' and facts.parent then note_child(id, facts.parent, ttl or DAY) end
end

local function write_call(id, key, task, route, body, flow_run, inbox, meta, x)
  local fields = { 't', task, 'q', route, 'b', body }
  local n = 6
  if flow_run then fields[n + 1] = 'f'; fields[n + 2] = flow_run; n = n + 2 end
  if inbox then fields[n + 1] = 'w'; fields[n + 2] = inbox; n = n + 2 end
  if meta then fields[n + 1] = 'm'; fields[n + 2] = meta; n = n + 2 end
  if not x then
    fields[n + 1] = 's'; fields[n + 2] = 'Q'
    fields[n + 3] = 'e'
    fields[n + 4] = is_carried_from(route) and carry(id, route, task)
      or route .. ' ' .. redis.call('XADD', stream(route), '*', 'i', id)
    return redis.call('HSET', key, unpack(fields))
  end
  if x.i then fields[n + 1] = 'i'; fields[n + 2] = x.i[1]; n = n + 2 end
  for _, letter in ipairs({ 'l', 'g', 'p', 'y', 'u', 'V', 'S', 'C' }) do
    if x[letter] then fields[n + 1] = letter; fields[n + 2] = x[letter]; n = n + 2 end
  end
  if x.x then
    fields[n + 1] = 'x'; fields[n + 2] = now + x.x
    put('expiring', now + x.x, id)
  end
  redis.call('HSET', key, unpack(fields))
  if x.F then write_flow_run(id, x.F, x.T) end
  place(id, key, x)
end

-- Writes a call unless its run is there already: repeating it changes nothing. Returns the run to which its idempotency
-- key leads, if it is another one; and whether the call was new.
local function submit_call(call)
  local id, task, route, body, flow_run, inbox, meta, x = unpack(call, 1, 8)
  local key = record(id)
  local other = x and x.i and known_by_key(id, key, x.i[1])
  if other then return other, false end
  local status = look(key, 's')[1]
  if status == 'Q' and unsent then -- a repeated submit: the first one's sender may not have published it
    local ticket = redis.call('HGET', key, 'e')
    if ticket and is_carried(ticket) then unsent[#unsent + 1] = { id, ticket, task } end
  end
  if status then return nil, false end
  submitted_runs[#submitted_runs + 1] = id
  local counted = queue_of(route) .. ':' .. task
  accepted[counted] = (accepted[counted] or 0) + 1
  write_call(id, key, task, route, body, flow_run, inbox, meta, x)
  return nil, true
end

local function count_accepted()
  for name, n in pairs(accepted) do count_up(P .. 'submitted', name, n) end
end
