-- limits: places under named limits. A run needs one in each of its limits, taken together or not at all; so does a lease,
-- a block of somebody's code, which may take several. A limit's size is what was declared (`doc:limit:<name>`), else what
-- the run brought along, else there is none: it is read whenever it matters, so a change holds for what waits.
-- Who waits stands in the line of their class, those who want the same of the same limits, and is called up in order of
-- arrival: the first who gets all that they want. Who wants more of a limit than is free holds up those behind them.
-- needs: tickets blocks inboxes
local spoilt = {} -- runs that could not be queued
local RESERVED = CARRIED and 5000 or 1000 -- ms for which its places are kept for a run that was called up
local CONFIRMED = 5000 -- ms within which a lease that was called up has to be taken
local LOOK_AGAIN = 2000 -- ms after which the mover looks at a limit under which somebody waits
local MOST_CALLED = 100 -- in one script
local arrivals = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

local function next_arrival()
  arrivals = arrivals + 1
  return string.format('%.0f', arrivals)
end

local function limits_of(text)
  -- nil where somebody damaged it
  local found = {}
  for line in string.gmatch(text, '[^\n]+') do
    local name, size = string.match(line, '^(.+)|(%d*)$')
    if not name then return nil end
    found[#found + 1] = { name = name, size = tonumber(size) }
  end
  return found[1] and found
end

local function rules_of(limit)
  local size, active, decay = unpack(look(P .. 'doc:limit:' .. limit.name, 'limit', 'active', 'decay'))
  if active == '0' then return math.huge, 0 end
  return number(size, limit.size or math.huge), number(decay, 0)
end

local function filled(name, decay)
  -- what `rate_limit` has taken of a limit and what has not come back yet
  if decay <= 0 then return 0 end
  local amount, at = unpack(look(P .. 'fill:' .. name, 'amount', 'at'))
  return math.max(0, number(amount, 0) - decay * math.max(0, now - number(at, now)) / 1000)
end

local function used_of(name, decay)
  local used = size_of('limit:' .. name) + filled(name, decay)
  local weights = redis.pcall('HGETALL', P .. 'weights:' .. name)
  for at = 2, weights.err and 0 or #weights, 2 do used = used + math.max(0, number(weights[at], 1) - 1) end
  return used
end

local function free_in(limit)
  local size, decay = rules_of(limit)
  return size - used_of(limit.name, decay), size, decay
end

local function short_of(limits, weight)
  -- the first of these limits in which too little is free, and its size
  for _, limit in ipairs(limits) do
    local free, size = free_in(limit)
    if free < weight then return limit, size end
  end
end

-- The mover looks at a limit while somebody waits under it, and when a lease may have ended: should whoever was called up
-- not come, or a worker of 0.1 leave without calling anybody, the next is called all the same.
local function watch(name, at)
  if number(score('limited', name), math.huge) > at then put('limited', at, name) end
end

local function take_places(limits, member, weight, free_at)
  for _, limit in ipairs(limits) do
    put('limit:' .. limit.name, now, member)
    if weight ~= 1 then set_facts(P .. 'weights:' .. limit.name, member, weight) end
    if free_at then
      put('until:' .. limit.name, free_at, member)
      watch(limit.name, free_at)
    end
  end
end

local function give_up(limits, member, weight)
  for _, limit in ipairs(limits) do
    drop('limit:' .. limit.name, member)
    drop('until:' .. limit.name, member)
    if weight ~= 1 then redis.pcall('HDEL', P .. 'weights:' .. limit.name, member) end
  end
end

local function class_of(text, weight) return string.format('%.0f', weight) .. '*' .. text end

local function stand_in_line(limits, class, member, arrival)
  put('line:' .. class, arrival, member)
  for _, limit in ipairs(limits) do
    members('lines:' .. limit.name) -- a damaged one begins anew
    redis.call('SADD', P .. 'lines:' .. limit.name, class)
    watch(limit.name, now + LOOK_AGAIN)
  end
end

local function leave_line(limits, class, member)
  if drop('line:' .. class, member) == 0 or redis.call('EXISTS', P .. 'line:' .. class) == 1 then return end
  for _, limit in ipairs(limits) do redis.pcall('SREM', P .. 'lines:' .. limit.name, class) end
end

local function forget_overdue(name)
  -- leases that were not renewed, and runs that were called up and not fetched: those try again when they are
  for _, member in ipairs(range('until:' .. name, '-inf', now, 'LIMIT', 0, 50)) do
    local lease = string.match(member, '^~(.*)$')
    local text = look(lease and P .. 'lease:' .. lease or record(member), 'l')[1]
    if lease then redis.call('DEL', P .. 'lease:' .. lease) end
    give_up(text and limits_of(text) or {}, member)
    give_up({ { name = name } }, member)
  end
end

local function still_waits(member)
  local lease = string.match(member, '^~(.*)$')
  return look(lease and P .. 'lease:' .. lease or record(member), 's')[1] == 'W'
end

local function call_up(member, limits, weight)
  -- false: it waits no more
  if not still_waits(member) then return false end
  local lease = string.match(member, '^~(.*)$')
  if lease then
    local inbox = look(P .. 'lease:' .. lease, 'i')[1]
    set_facts(P .. 'lease:' .. lease, 's', 'H')
    take_places(limits, member, weight, now + CONFIRMED)
    if inbox then order(inbox, 'place', lease) end
    return true
  end
  take_places(limits, member, 1, now + RESERVED)
  if pcall(enqueue, member, true) then return true end
  give_up(limits, member, 1)
  spoilt[#spoilt + 1] = member
  return false
end

local function heads_of(name)
  -- the first of each class that waits under a limit, in order of arrival
  local heads = {}
  for _, class in ipairs(members('lines:' .. name)) do
    local member, arrival = unpack(places('line:' .. class, 0, 0, 'WITHSCORES'))
    if member then
      heads[#heads + 1] = { class = class, member = member, arrival = number(arrival, 0) }
    else
      redis.pcall('SREM', P .. 'lines:' .. name, class)
    end
  end
  table.sort(heads, function(one, other) return one.arrival < other.arrival end)
  return heads
end

local function first_that_fits(name)
  -- false: nobody; and whether somebody waits for places of this very limit
  for _, head in ipairs(heads_of(name)) do
    local weight, text = string.match(head.class, '^(%d+)%*(.*)$')
    local limits = text and limits_of(text)
    if limits then
      head.weight, head.limits = tonumber(weight), limits
      local short, size = short_of(limits, head.weight)
      if not short then return head end
      if short.name == name and head.weight <= size then
        if still_waits(head.member) then return false, true end
        return head -- whose process has died: it is taken out of the line, and holds up nobody
      end
    end
  end
  return false, false
end

local function call_next(name)
  -- calls up whoever fits; returns whether somebody waits for places of this limit
  if not members('lines:' .. name)[1] then return false end
  forget_overdue(name)
  for _ = 1, MOST_CALLED do
    local head, blocked = first_that_fits(name)
    if not head then return blocked end
    leave_line(head.limits, head.class, head.member)
    call_up(head.member, head.limits, head.weight)
  end
  put('limited', now, name) -- the mover goes on
  return true
end

local function adopt_line_of_0_1(name)
  -- a worker of 0.1 has put these runs in line
  while true do
    local id = redis.pcall('LPOP', P .. 'limit:' .. name .. ':waiting')
    if type(id) ~= 'string' then return end
    local status, text = unpack(look(record(id), 's', 'l'))
    local limits = status == 'W' and text and limits_of(text)
    if limits then stand_in_line(limits, class_of(text, 1), id, next_arrival()) end
  end
end

local function leave_places(text, member, weight)
  local limits = limits_of(text)
  if not limits then return end
  leave_line(limits, class_of(text, weight), member)
  give_up(limits, member, weight)
  for _, limit in ipairs(limits) do
    adopt_line_of_0_1(limit.name)
    call_next(limit.name)
  end
end

local function end_lease(id)
  -- whether it was there
  local text, weight, run = unpack(look(P .. 'lease:' .. id, 'l', 'n', 'r'))
  redis.call('DEL', P .. 'lease:' .. id)
  if run then redis.pcall('SREM', P .. 'leases:' .. run, id) end
  if text then leave_places(text, '~' .. id, number(weight, 1)) end
  return text ~= false
end

-- A delivery is over, however: the places of its run are free, and those that its code has taken by leases.
local function leave_limits(id, text, leases)
  if text then leave_places(text, id, 1) end
  if not leases then return end
  for _, lease in ipairs(members('leases:' .. id)) do end_lease(lease) end
  redis.call('HDEL', record(id), 'H')
end
