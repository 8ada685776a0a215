-- queues: how full the queues are.
-- args: { first, count }: which of them, by name; { further queue, ... } that are told as well
-- returns: { how many there are, { {queue, waiting, held, delayed or -1, age of the oldest that waits in ms or -1,
--            paused 0 or 1}, ... } }
local first, count = args[1], args[2]
local FEW = 1000 -- delayed runs are counted by queue while there are not more: each is a look at a record
local names, known, paused = {}, {}, {}

local function know(list)
  for _, name in ipairs(list) do
    if not known[name] then known[name] = true; names[#names + 1] = name end
  end
end

local stopped = redis.call('SMEMBERS', P .. 'paused')
for _, name in ipairs(stopped) do paused[name] = true end
know(redis.call('SMEMBERS', P .. 'queues'))
know(stopped)
know(args[3])
table.sort(names)

local function delayed_by_queue()
  if redis.call('ZCARD', P .. 'delayed') > FEW then return nil end
  local counted = {}
  for _, id in ipairs(redis.call('ZRANGE', P .. 'delayed', 0, -1)) do
    local home = redis.call('HGET', record(id), 'q')
    if home then counted[queue_of(home)] = (counted[queue_of(home)] or 0) + 1 end
  end
  return counted
end

local function group_of(key)
  -- how many entries are held, and the last one that was given to anybody
  local reply = redis.pcall('XINFO', 'GROUPS', key)
  if reply.err then return 0, '0-0' end
  for _, row in ipairs(reply) do
    local facts = {}
    for i = 1, #row, 2 do facts[row[i]] = row[i + 1] end
    if facts.name == GROUP then return facts.pending, facts['last-delivered-id'] end
  end
  return 0, '0-0'
end

local delayed = delayed_by_queue()
local rows = {}
for at = first + 1, math.min(first + count, #names) do
  local name, waiting, held, oldest = names[at], 0, 0, nil
  for _, letter in ipairs({ 'r', 'h', 'd', 'l' }) do
    for _, lane in ipairs({ 's', 'a' }) do
      local key = stream(name .. ':' .. letter .. lane)
      local length = redis.call('XLEN', key)
      if length > 0 then
        local pending, last = group_of(key)
        waiting, held = waiting + length - pending, held + pending
        local entry = length > pending and redis.call('XRANGE', key, '(' .. last, '+', 'COUNT', 1)[1]
        local since = entry and tonumber(string.match(entry[1], '^%d+'))
        if since and (not oldest or since < oldest) then oldest = since end
      end
    end
  end
  if CARRIED then waiting = waiting + math.max(0, tonumber(redis.call('HGET', P .. 'carried', name) or 0)) end
  rows[#rows + 1] = { name, waiting, held, delayed and (delayed[name] or 0) or -1,
    oldest and math.max(0, now - oldest) or -1, paused[name] and 1 or 0 }
end
return cmsgpack.pack({ #names, rows })
