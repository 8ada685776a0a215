-- queues: how full the queues are.
-- args: { first, count }: which of them, by name; { further queue, ... } to be listed as well
-- returns: { how many there are, { {queue, waiting, held, delayed or -1, age of the oldest that waits in ms or -1,
--            paused 0 or 1}, ... } }
-- needs: groups blocks
local first, count, further = unpack(args)
local FEW = 1000 -- delayed runs are counted by queue while there are not more: each is a look at a record
local names, known, paused = {}, {}, {}

local function know(list)
  for _, name in ipairs(list) do
    if not known[name] then known[name] = true; names[#names + 1] = name end
  end
end

local stopped = members('paused')
for _, name in ipairs(stopped) do paused[name] = true end
know(members('queues'))
know(stopped)
know(further)
table.sort(names)

local function delayed_by_queue()
  if size_of('delayed') > FEW then return nil end
  local counted = {}
  for _, id in ipairs(places('delayed', 0, -1)) do
    local home = look(record(id), 'q')[1]
    if home then counted[queue_of(home)] = (counted[queue_of(home)] or 0) + 1 end
  end
  return counted
end

local function held_of(key)
  -- how many entries are held, and the last one that was given to anybody
  local group = group_of(key)
  if not group then return 0, '0-0' end
  return group.pending, group['last-delivered-id']
end

local delayed = delayed_by_queue()
local rows = {}
for at = first + 1, math.min(first + count, #names) do
  local name, waiting, held, oldest = names[at], 0, 0, nil
  for _, route in ipairs(routes_of(name)) do
    local key = stream(route)
    local length = redis.pcall('XLEN', key)
    if type(length) == 'number' and length > 0 then
      local pending, last = held_of(key)
      waiting = waiting + math.max(0, length - pending + blocks.more(route))
      held = held + math.max(0, pending + blocks.more(route, true))
      local entry = length > pending and redis.call('XRANGE', key, '(' .. last, '+', 'COUNT', 1)[1]
      local since = entry and tonumber(string.match(entry[1], '^%d+'))
      if since and (not oldest or since < oldest) then oldest = since end
    end
  end
  if CARRIED then waiting = waiting + math.max(0, number(redis.call('HGET', P .. 'carried', name), 0)) end
  rows[#rows + 1] = { name, waiting, held, delayed and (delayed[name] or 0) or -1,
    oldest and math.max(0, now - oldest) or -1, paused[name] and 1 or 0 }
end
return cmsgpack.pack({ #names, rows })
