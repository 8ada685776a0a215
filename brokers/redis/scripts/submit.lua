-- submit: write records and queue entries together.
-- args: { limit, { {run, task, route, body, flow_run, reply_to, meta, extras}, ... }, { {block, task, route, flow_run,
--   reply_to, meta, bodies, where each ends in them (4 bytes), calls, deliveries allowed, sources (see lib/blocks.lua) or
--   false, how many of the calls above are queued before it}, ... } }, see lib/submitting.lua
--   where another broker carries them also { task = most calls of a range, ... }
--   limit: how many calls a queue may hold, those that run included; 0 for no limit
-- returns: { { {i, run}, ... } for the calls whose idempotency key was known: position and the run it belongs to,
--            { {run, ticket, task}, ... } what the caller has to publish, where another broker carries the calls; of a
--            range of a block: { range, ticket, task, first place, calls } }
-- A run id that is known already is skipped: repeating a submit after a lost reply changes nothing.
-- needs: submitting ranges chains
local limit, calls, maps, most_of = unpack(args, 1, 4)
local known, added = {}, {}
maps = maps or {}
if CARRIED then unsent = {} end

local routes = {}
for _, call in ipairs(calls) do
  local _, _, route = unpack(call, 1, 3)
  local queue = queue_of(route)
  added[queue] = (added[queue] or 0) + 1
  routes[route] = true
end

for _, map in ipairs(maps) do
  local _, _, route, _, _, _, _, _, count = unpack(map, 1, 9)
  local queue = queue_of(route)
  added[queue] = (added[queue] or 0) + count
  routes[route] = true
end

for route in pairs(routes) do -- before anything is written
  local length = not is_carried_from(route) and redis.pcall('XLEN', stream(route))
  if type(length) == 'table' then return length end
end

local function length_of(queue)
  local length = CARRIED and number(redis.call('HGET', P .. 'carried', queue), 0) or 0
  for _, route in ipairs(routes_of(queue)) do
    local entries = redis.pcall('XLEN', stream(route))
    length = length + (type(entries) == 'number' and entries or 0)
    length = length + blocks.more(route) + blocks.more(route, true)
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
for queue in pairs(added) do redis.pcall('SADD', P .. 'queues', queue) end

-- An older worker would give a range up as a dead letter: while one is alive, its calls have records.
local READERS = CARRIED and 'range_readers' or 'block_readers'
local every_worker = {}
local function every_worker_is_in(readers)
  if every_worker[readers] == nil then
    every_worker[readers] = true
    for _, consumer in ipairs(range('workers', 1, '+inf')) do -- a score of 0: dead, and not taken over
      every_worker[readers] = every_worker[readers] and score(readers, consumer) and true or false
    end
  end
  return every_worker[readers]
end

-- Some calls of a block are known, if this is the second try and it was divided otherwise in the first.
function blocks.submit_one_by_one(map, from)
  local name, task, route, flow_run, inbox, meta, bodies, ends, count, deliveries, sources = unpack(map, 1, 11)
  local given = { bodies = bodies, ends = ends }
  for place = from, count - 1 do
    local body = string.sub(bodies, blocks.begin_of_body(given, place) + 1, blocks.end_of_body(given, place))
    local extras = sources and chains.extras(sources, place, deliveries) or deliveries and { y = deliveries }
    submit_call({ blocks.member(name, place), task, route, body, flow_run, inbox, meta, extras })
  end
end

-- A repeated submit: the first one's sender may not have published its ranges.
function blocks.publish_again(name)
  local block = unsent and blocks.read(name)
  for at = 0, block and block.split or -1 do
    local range_id = blocks.range(block, at)
    local ticket, first, last = unpack(look(P .. 'r:' .. range_id, 'e', 'F', 'T'))
    if ticket and is_carried(ticket) then
      unsent[#unsent + 1] = { range_id, ticket, block.task, number(first, 0), number(last, 0) - number(first, 0) + 1 }
    end
  end
end

-- Another broker carries them: ranges are as long as what a worker takes at once.
function blocks.queue_all(block, most)
  most = block.split > 0 and most or block.count
  for at = 0, block.split do
    local first, last = at * most, math.min(block.count, (at + 1) * most) - 1
    ranges.queue(block, at, block.route, first, last, last - first + 1)
  end
end

function blocks.ranges_of(count, most)
  -- by which range each call waits, and the number of the last where there are several
  if most >= count then return string.rep('\0', count), false end
  local numbers = {}
  for place = 0, count - 1 do numbers[place + 1] = math.floor(place / most) end
  return string.char(unpack(numbers)), numbers[count]
end

function blocks.submit(map)
  local name, task, route, flow_run, inbox, meta, bodies, ends, count, deliveries, sources = unpack(map, 1, 11)
  local hash = P .. 'b:' .. name
  local known = redis.pcall('HGET', hash, 'n')
  if known then blocks.publish_again(name) end
  if known then return blocks.submit_one_by_one(map, number(type(known) == 'string' and known, 0)) end
  -- A portion of the first try ended behind so few of its calls that they became records.
  local is_begun = redis.call('EXISTS', P .. 'r:' .. blocks.member(name, 0)) == 1
  if is_begun or not every_worker_is_in(READERS) then return blocks.submit_one_by_one(map, 0) end
  if sources and not (every_worker_is_in('chain_readers') and chains.fits(sources)) then
    return blocks.submit_one_by_one(map, 0)
  end
  local most = not sources and most_of and is_carried_from(route) and most_of[task] or count
  local numbers, split = blocks.ranges_of(count, most)
  local fields = { 'n', count, 't', task, 'q', route, 'b', bodies, 'l', ends, 'L', string.rep('Q', count),
    'g', sources and string.rep('\255', count) or numbers, 'p', string.rep('\0', count), 'a', now }
  local waiting, packed = sources and string.rep('\1', count), sources and cmsgpack.pack(sources)
  for letter, value in pairs({ f = flow_run, w = inbox, m = meta, y = deliveries, W = waiting, u = packed, G = split }) do
    if value then fields[#fields + 1] = letter; fields[#fields + 1] = value end
  end
  redis.call('HSET', hash, unpack(fields))
  blocks.known[name] = nil
  if sources then chains.begin(name) else blocks.queue_all(blocks.read(name), most) end
  blocks.new[#blocks.new + 1] = name
  blocks.new[#blocks.new + 1] = count
  local counted = queue_of(route) .. ':' .. task
  accepted[counted] = (accepted[counted] or 0) + count
end

local seen, behind = 0, {}
local function submit_record(at)
  local other = submit_call(calls[at])
  if other then known[#known + 1] = { at, other } end
end

local function submit_records(last)
  for at = seen + 1, last do
    local _, _, _, _, _, _, _, x = unpack(calls[at], 1, 8)
    if x and x.r and maps[1] then behind[#behind + 1] = at else submit_record(at) end -- it may wait for a later block
  end
  seen = math.max(seen, last)
end

for _, map in ipairs(maps) do
  submit_records(map[12] or 0)
  blocks.submit(map)
end
submit_records(#calls)
for _, at in ipairs(behind) do submit_record(at) end

count_accepted()
close_script()
return cmsgpack.pack({ known, unsent or {} })
