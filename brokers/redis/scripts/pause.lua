#!lua flags=allow-oom
-- pause: stop the handing out of a queue's calls, or go on with it. Every live worker is told, so that its blocking read
-- leaves the queue out; fetch.lua looks at the set itself, so that nothing is handed out from this moment on.
-- args: { 'pause' or 'resume', queue }
-- returns: 1 if that changed anything
local what, queue = args[1], args[2]
local news
if what == 'pause' then
  news = redis.call('SADD', P .. 'paused', queue)
else
  news = redis.call('SREM', P .. 'paused', queue)
end
for _, consumer in ipairs(redis.call('ZRANGE', P .. 'workers', 0, -1)) do order(consumer, what .. '_queue', queue) end
close_script()
return cmsgpack.pack(news)
