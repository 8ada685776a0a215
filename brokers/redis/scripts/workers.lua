-- workers: the live consumers, their descriptions, and what they hold.
-- args: { lease ms, most runs listed of one consumer }
-- returns: { {consumer, ms since its last beat, {field, value, ...}, calls it holds, {run that runs, ...}}, ... }
-- needs: ranges
local lease, most = unpack(args)
local found, by_name, queues, known = {}, {}, {}, {}

local alive = range('workers', now - lease, '+inf', 'WITHSCORES')
for i = 1, #alive, 2 do
  local consumer, beat = alive[i], alive[i + 1]
  local facts = redis.pcall('HGETALL', P .. 'worker:' .. consumer)
  if facts.err then facts = {} end
  local row = { consumer = consumer, silent = math.max(0, now - number(beat, now)), facts = facts, held = 0, runs = {} }
  found[#found + 1] = row
  by_name[consumer] = row
  for at = 1, #facts, 2 do
    if facts[at] == 'queues' then
      for queue in string.gmatch(facts[at + 1], '[^,]+') do
        if not known[queue] then known[queue] = true; queues[#queues + 1] = queue end
      end
    end
  end
end

local function note_running(id, runs)
  local status = blocks.look(id, 's')[1]
  if status == 'R' or status == 'X' then runs[#runs + 1] = id end
end

local function look_at_range(ticket, range_id, row)
  -- calls that run long are moved out of it
  local current, first, last, _, block = ranges.read(range_id)
  if current ~= ticket or not block then return end
  local held = ranges.count_open(block, first, last)
  for place = first, last do
    local id = blocks.member(block.name, place)
    if blocks.letter(block, place) == '-' and look(record(id), 'e')[1] == blocks.ticket(ticket, place, range_id) then
      held = held + 1
      note_running(id, row.runs)
    end
  end
  row.held = row.held + held - 1
end

local function look_at(route, consumer, row)
  local key = stream(route)
  for _, pending in ipairs(redis.call('XPENDING', key, GROUP, '-', '+', most, consumer)) do
    if #row.runs >= most then return end
    local id = run_of(entry_at(key, pending[1]))
    if blocks.is_range(id) then look_at_range(route .. ' ' .. pending[1], id, row) else note_running(id, row.runs) end
  end
end

for _, queue in ipairs(queues) do
  for _, route in ipairs(routes_of(queue)) do
    local key = stream(route)
    local summary = redis.pcall('XPENDING', key, GROUP) -- an error: nobody has read this route yet
    if not summary.err and summary[1] > 0 then
      for _, holder in ipairs(summary[4]) do
        local consumer, count = unpack(holder)
        local row = by_name[consumer]
        if row then
          row.held = row.held + tonumber(count)
          look_at(route, consumer, row)
        end
      end
    end
  end
end

local rows = {}
for at, row in ipairs(found) do rows[at] = { row.consumer, row.silent, row.facts, row.held, row.runs } end
return cmsgpack.pack(rows)
